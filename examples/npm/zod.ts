import { z } from "zod";

const Order = z.object({
  isbn: z.string().regex(/^\d{13}$/),
  copies: z.number().int().positive().default(1),
  email: z.email(),
});

export default {
  async fetch(request: Request): Promise<Response> {
    const parsed = Order.safeParse(await request.json());
    if (!parsed.success) return Response.json(parsed.error.issues.map(({ path, code }) => ({ path, code })), { status: 422 });
    return Response.json(parsed.data);
  },
};
