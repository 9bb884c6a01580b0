using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")]
);

const main :Workerd.Worker = (
  modules = [
    (name = "main.js", esModule = embed "dist/main.js"),
    (name = "tractlet/engine.wasm", wasm = embed "node_modules/tractlet/dist/engine.wasm"),
    (name = "tractlet/compiler.wasm", wasm = embed "node_modules/tractlet/dist/compiler.wasm"),
    (name = "assets/squeezenet1.1-int8.onnx", data = embed "assets/squeezenet1.1-int8.onnx")
  ],
  compatibilityDate = "2026-09-01"
);
