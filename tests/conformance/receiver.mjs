// A receiver that checks what it gets with the stock library for JavaScript.
// It is told what to do as its twin in Python is: see receivers.py.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { Webhook } = createRequire(`${process.cwd()}/`)("standardwebhooks");
const hooks = new Map();

function hook(name) {
  if (!hooks.has(name)) hooks.set(name, { secret: null, answers: [], seen: [] });
  return hooks.get(name);
}

function receive(name, headers, body) {
  const { secret, answers, seen } = hook(name);
  let payload = null;
  let error = null;
  try {
    payload = new Webhook(secret).verify(body, headers);
  } catch (refusal) {
    error = refusal.message;
  }
  seen.push({ headers, body, payload, error });
  return error === null ? (answers.shift() ?? 204) : 401;
}

const server = createServer((request, response) => {
  const [, kind, name] = request.url.split("/");
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("utf8");
    if (kind === "hooks") {
      response.statusCode = request.method === "POST" ? receive(name, request.headers, body) : 204;
      response.end();
    } else {
      if (request.method === "PUT") Object.assign(hook(name), JSON.parse(body));
      response.end(JSON.stringify(hook(name).seen));
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
