import { BadRequest } from "./errors.js";

// route answers with the result of the handler for the request's method and path.
export function route(routes, request) {
  const url = new URL(request.url);
  const handler = routes[`${request.method} ${url.pathname}`];
  if (handler === undefined) {
    return Response.json({ error: "not found", routes: Object.keys(routes) }, { status: 404 });
  }
  try {
    return Response.json({ result: handler(url.searchParams) });
  } catch (error) {
    if (error instanceof BadRequest) {
      return Response.json({ error: error.message }, { status: 400 });
    }
    throw error;
  }
}
