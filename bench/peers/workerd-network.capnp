# Serves an app module that may ask other servers of this machine. The benchmark copies this file and the app (as
# app.js) into a folder of its own and puts the port in.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .app),
    (name = "internet", network = (allow = ["local"])),
  ],
  sockets = [ (name = "http", address = "127.0.0.1:{{port}}", http = (), service = "main") ],
);

const app :Workerd.Worker = (
  modules = [ (name = "app.js", esModule = embed "app.js") ],
  compatibilityDate = "2026-11-01",
);
