// /?seed=1&count=100 compares that many random values' JSON with V8's own.
import { compare, generator } from "./json_values.js";

export default {
  fetch(request) {
    const { searchParams } = new URL(request.url);
    const make = generator(Number(searchParams.get("seed")));
    for (let index = 0; index < Number(searchParams.get("count")); index++) {
      const value = make();
      try {
        compare(() => value, `value ${index}`);
      } catch (error) {
        return new Response(error.message, { status: 500 });
      }
    }
    return new Response("same");
  },
};
