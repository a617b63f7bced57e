// An app of several modules, by relative import.
import { route } from "./router.js";
import * as temperature from "./units/temperature.js";
import { parseNumber } from "./units/number.js";

const routes = {
  "GET /celsius": (query) => temperature.fromFahrenheit(parseNumber(query, "f")),
  "GET /fahrenheit": (query) => temperature.fromCelsius(parseNumber(query, "c")),
};

export default {
  fetch: (request) => route(routes, request),
};
