# Serves static files, without an app: workerd's disk service. The benchmark puts the port and the folder in.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "main", disk = "{{public}}") ],
  sockets = [ (name = "http", address = "{{host}}:{{port}}", http = (), service = "main") ],
);
