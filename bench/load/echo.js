// JSON bodies of 1 KB to an app that answers with what it got, as bench/apps/echo.js:
//
//	k6 run -e URL=http://127.0.0.1:8080/ bench/load/echo.js
import http from "k6/http";
import { check } from "k6";

export const options = {
  vus: 64,
  duration: __ENV.DURATION || "10s",
  thresholds: { checks: ["rate==1"], http_req_duration: ["p(99)<100"] },
};

const url = __ENV.URL || "http://127.0.0.1:8080/";
const items = Array.from({ length: 14 }, (_, index) => ({
  id: index + 1,
  name: `item number ${String(index + 1).padStart(2, "0")}`,
  price: index + 1.5,
  tags: ["one", "two"],
}));
const body = JSON.stringify({ order: "2f1b9c", items });
const parameters = { headers: { "content-type": "application/json" } };

export default function () {
  const response = http.post(url, body, parameters);
  check(response, {
    "status is 200": (answer) => answer.status === 200,
    "the body came back": (answer) => answer.body === body,
  });
}
