// Requests as fast as they are answered, over 64 connections:
//
//	k6 run -e URL=http://127.0.0.1:8080/ bench/load/plain.js
import http from "k6/http";
import { check } from "k6";

export const options = {
  vus: 64,
  duration: __ENV.DURATION || "10s",
  thresholds: { checks: ["rate==1"], http_req_duration: ["p(99)<100"] },
};

const url = __ENV.URL || "http://127.0.0.1:8080/";

export default function () {
  check(http.get(url), { "status is 200": (response) => response.status === 200 });
}
