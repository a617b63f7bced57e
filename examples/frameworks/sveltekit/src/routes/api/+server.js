import { json } from "@sveltejs/kit";

export const POST = async ({ request, platform }) => json({ echo: await request.json(), title: platform.env.TITLE });
