-- product_search: the document that a search engine gets for each product: facets as JSON, and one
-- text with all words to find it by.
name "product_search"
version (1)
columns { "document json", "words text", "updated_at time" }

-- Lower case of ASCII letters only; the search engine folds the others.
local function finish(row, e)
    local document = row.document
    local words = { document.title, document.brand, unpack(document.tags) }
    row.words = table.concat(words, " "):lower()
    row.updated_at = e.time
end

on ("ProductListed", { "title text", "brand text", "tags json?" }, function (row, e)
    row.document = {
        title = e.title, brand = e.brand, tags = e.tags or {}, reviews = { count = 0, stars = 0 },
    }
    finish(row, e)
end)

on ("ProductRenamed", { "title text" }, function (row, e)
    row.document.title = e.title -- changes in place count
    finish(row, e)
end)

on ("TagAdded", { "tag text" }, function (row, e)
    local tags = row.document.tags
    for _, tag in ipairs(tags) do
        if tag == e.tag then return end
    end
    table.insert(tags, e.tag)
    table.sort(tags)
    finish(row, e)
end)

on ("Reviewed", { "stars int" }, function (row, e)
    local reviews = row.document.reviews
    reviews.count, reviews.stars = reviews.count + 1, reviews.stars + e.stars
end)

on ("ProductDelisted", {}, function (row, e) row:delete() end)
