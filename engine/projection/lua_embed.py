"""Makes one C file of the Lua chunks: python3 lua_embed.py OUTPUT CHUNK..."""

import os
import sys


def main():
    with open(sys.argv[1], 'w', encoding='ascii') as out:
        out.write('#include <stddef.h>\n\n')
        out.write('typedef struct { const char *name, *bytes; size_t size; } chunk;\n')
        for number, path in enumerate(sys.argv[2:]):
            with open(path, 'rb') as chunk:
                values = ','.join(str(byte) for byte in chunk.read())
            out.write('static const unsigned char bytes_%d[] = {%s};\n' % (number, values))
        out.write('extern const chunk rf_lua_chunks[];\nconst chunk rf_lua_chunks[] = {\n')
        for number, path in enumerate(sys.argv[2:]):
            out.write(
                '    {"=%s", (const char *)bytes_%d, sizeof bytes_%d},\n'
                % (os.path.basename(path), number, number)
            )
        out.write('};\nextern const size_t rf_lua_chunk_count;\n')
        out.write('const size_t rf_lua_chunk_count = %d;\n' % (len(sys.argv) - 2))


main()
