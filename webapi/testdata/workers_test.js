import * as workers from "cloudflare:workers";
import { DurableObject, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, env, waitUntil, withEnv } from "cloudflare:workers";
import { equal, suite, throws } from "./check.js";

const atTop = env.NAME; // this app starts from its source
let topError;
try {
  waitUntil(Promise.resolve());
} catch (error) {
  topError = error;
}

export default suite({
  async "exports"() {
    equal(Object.keys(workers), ["DurableObject", "RpcTarget", "WorkerEntrypoint", "WorkflowEntrypoint", "env", "waitUntil", "withEnv"]);
  },
  async "env"(request, given) {
    equal(atTop, "value");
    equal(env.NAME, "value");
    equal(env.OTHER, undefined);
    equal("NAME" in env, true);
    equal("OTHER" in env, false);
    equal(Object.keys(env), ["NAME"]);
    equal({ ...env }.NAME, "value");
    equal(JSON.stringify(env), '{"NAME":"value"}');
    env.ADDED = 1;
    equal(given.ADDED, 1);
    delete env.ADDED;
    equal("ADDED" in given, false);
    equal(Object.getOwnPropertyDescriptor(env, "NAME").value, "value");
    throws(TypeError, () => Object.freeze(env));
  },
  async "withEnv"() {
    const inner = await withEnv({ NAME: "other", MORE: 1 }, async () => {
      await null;
      return [env.NAME, env.MORE, Object.keys(env), withEnv({}, () => env.NAME) ?? "none"];
    });
    equal(inner, ["other", 1, ["NAME", "MORE"], "none"]);
    equal(env.NAME, "value");
    throws(TypeError, () => withEnv(5, () => {}), "parameter 1");
    throws(TypeError, () => withEnv({}, 5), "parameter 2");
  },
  async "waitUntil"() {
    equal(topError?.message, "waitUntil() is for code that runs for a request");
    waitUntil(Promise.resolve());
    throws(TypeError, () => waitUntil(), "1 argument required");
  },
  async "classes"(request, given, ctx) {
    class Entry extends WorkerEntrypoint {}
    const entry = new Entry(ctx, given);
    equal([entry.ctx === ctx, entry.env === given], [true, true]);
    class Target extends RpcTarget { x = 1; }
    equal(new Target().x, 1);
    class Counter extends DurableObject {}
    throws(Error, () => new Counter(), "there are no Durable Objects in this version");
    class Flow extends WorkflowEntrypoint {}
    throws(Error, () => new Flow(), "there are no Workflows in this version");
  },
});
