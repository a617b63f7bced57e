export default {
  fetch: (request, env) => Response.redirect(env.LOCATION, 308),
};
