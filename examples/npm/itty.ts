import { AutoRouter, error, type IRequest } from "itty-router";

const router = AutoRouter();
router
  .get("/hello/:name", ({ params }: IRequest) => ({ hello: params.name }))
  .get("/text", () => "text")
  .post("/sum", async (request: IRequest) => {
    const numbers = (await request.json()) as number[];
    return { sum: numbers.reduce((a, b) => a + b, 0) };
  })
  .get("/fail", () => error(402, "pay first"));

export default router;
