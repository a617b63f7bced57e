-- Sixteen requests a write: wrk -t1 -c64 -d10s -s pipelined.lua http://127.0.0.1:8080/
local depth = 16

init = function()
  local one = wrk.format("GET", "/")
  batch = string.rep(one, depth)
end

request = function()
  return batch
end
