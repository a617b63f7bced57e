package isolates

import "testing"

// TestPlainHeaders: the headers of a response given as a plain object, which C++ makes lines of (plainlines.cc), are
// those of the general way, which a list of pairs takes; errors, too.
func TestPlainHeaders(t *testing.T) {
	isolate := startApp(t, unlimited, `
		const long = "v".repeat(600);
		class WithField { a = "1"; b = "x"; }
		const grown = {};
		for (let i = 0; i < 40; i++) grown["n" + i] = "v" + i;
		const table = Object.assign({}, grown);
		delete table.n7;
		const cases = {
			empty: {}, plain: { "X-A": "1", "x-b": "two words" }, type: { "Content-Type": "text/html" },
			same: { "X-A": "1", "x-a": "2" }, cookies: { "set-cookie": "a=b; Path=/" }, classy: new WithField(),
			blanks: { a: " x", b: "y ", c: " ", d: "", e: "\t" }, numbers: { a: 1, b: 1.5, c: true, d: null, e: undefined },
			indices: { 1: "a", 0: "b", x: "c" }, joined: { a: long.slice(0, 20) + isNaN(long) + long.slice(5, 40) },
			sliced: { a: long.slice(3, 100) }, tooLong: { a: long, b: long }, latin: { a: "\u00e9" }, wide: { a: "\u20ac" },
			line: { a: "x\r\ny: z" }, nul: { a: "\0" }, control: { a: "a\tb", b: "a\x7fb" }, wideName: { "\u00e9": "x" },
			noName: { "": "x" }, badName: { "a b": "x" }, colon: { "a:": "x" }, marks: { "!#$%&'*+-.^_\x60|~": "x" },
			framing: { "Content-Length": "5", date: "x", Connection: "close", "Transfer-Encoding": "chunked", upgrade: "a" },
			hidden: Object.defineProperty({ a: "1" }, "b", { value: "2" }), getter: { get a() { return "x"; } },
			frozen: Object.freeze({ a: "1", b: "2" }), nullish: Object.assign(Object.create(null), { a: "1" }),
			inherited: Object.create({ a: "1" }, { b: { value: "2", enumerable: true } }), grown, table,
			joinedName: { ["x-" + long.slice(0, 30)]: "1" }, list: [], func: Object.assign(() => {}, { a: "1" }),
		};
		// Each alone, since one is enough to be left to the general way.
		for (const name of ["te", "date", "host", "expect", "upgrade", "trailer", "connection", "keep-alive", "content-length",
			"proxy-connection", "transfer-encoding"]) cases[name] = { [name]: "5" };
		const outcome = (make) => {
			try {
				return JSON.stringify([...make().headers]);
			} catch (error) {
				return error.name + ": " + error.message;
			}
		};
		export default {
			fetch() {
				const different = [];
				for (const [name, object] of Object.entries(cases)) {
					for (const body of ["text", null]) {
						const plain = outcome(() => new Response(body, { headers: object }));
						const pairs = name === "func" ? [["a", "1"]] : Object.entries(object);
						const general = outcome(() => new Response(body, { headers: pairs }));
						if (plain !== general) different.push(name + ": " + plain + " instead of " + general);
					}
				}
				return new Response(different.join("\n"));
			},
		}`)
	if different := string(fetch(t, isolate, get).Body); different != "" {
		t.Error(different)
	}
}
