// A JSON body, parsed and serialised again.
export default {
  async fetch(request) {
    return Response.json(await request.json());
  },
};
