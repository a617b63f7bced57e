-- Ten routes in turn: wrk -t1 -c64 -d10s -s router.lua http://127.0.0.1:8080/
local paths = {
  "/", "/health", "/users", "/users/7", "/users/7/posts", "/users/7/posts/9",
  "/search?q=ring&page=2", "/files/a/b.txt", "/old", "/made",
}
local requests = {}
local turn = 0

init = function()
  for index, path in ipairs(paths) do
    requests[index] = wrk.format("GET", path)
  end
end

request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
