"""Features of a layer: our own items routes, from the query string to the bytes.

The modules follow a request: params (read and checked) -> where, filters (conditions) -> query (one
statement) -> formats (bytes) -> etag, paging (headers and links) -> routes.
"""
