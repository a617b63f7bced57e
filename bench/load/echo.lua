-- A JSON body of 1 KB: wrk -t1 -c64 -d10s -s echo.lua http://127.0.0.1:8080/
local items = {}
for index = 1, 14 do
  items[index] = string.format('{"id":%d,"name":"item number %02d","price":%d.5,"tags":["one","two"]}', index, index, index)
end

wrk.method = "POST"
wrk.body = '{"order":"2f1b9c","items":[' .. table.concat(items, ",") .. ']}'
wrk.headers["Content-Type"] = "application/json"
