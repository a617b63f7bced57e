-- A new connection for each request: wrk -t1 -c64 -d10s -s close.lua http://127.0.0.1:8080/
wrk.headers["Connection"] = "close"
