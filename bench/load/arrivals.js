// A fixed number of new requests each second, whether the earlier ones are answered or not, as many
// independent visitors make them: what a node does to latency below its limit, and when it is over.
//
//	k6 run -e URL=http://127.0.0.1:8080/ -e RATE=2000 bench/load/arrivals.js
import http from "k6/http";
import { check } from "k6";

export const options = {
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 1000),
      timeUnit: "1s",
      duration: __ENV.DURATION || "10s",
      preAllocatedVUs: 200,
      maxVUs: 1000,
    },
  },
  thresholds: { checks: ["rate==1"], dropped_iterations: ["count==0"] },
};

const url = __ENV.URL || "http://127.0.0.1:8080/";

export default function () {
  check(http.get(url), { "status is 200": (response) => response.status === 200 });
}
