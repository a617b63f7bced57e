interface Sum { value: number }

export default {
  async fetch(request: Request): Promise<Response> {
    const left: number = 20;
    const sum: Sum = await add(left, 22);
    console.log("sum", sum);
    return new Response(`sum ${sum.value}\n`);
  },
};

async function add(a: number, b: number): Promise<Sum> {
  await Promise.resolve();
  return { value: a + b };
}
