-- Requests for the hosts app-0.test, app-1.test … in turn: wrk -s hosts.lua URL -- COUNT PATTERN
local requests = {}
local last = 0

function init(arguments)
  for index = 0, tonumber(arguments[1]) - 1 do
    local host = string.format(arguments[2] or "app-%d.test", index)
    requests[index] = "GET / HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n"
  end
end

function request()
  last = requests[last + 1] and last + 1 or 0
  return requests[last]
end
