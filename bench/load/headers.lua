-- Ten headers of the request's own: wrk -t1 -c64 -d10s -s headers.lua http://127.0.0.1:8080/
for index = 0, 9 do
  wrk.headers["x-question-" .. index] = "value of header number " .. index
end
