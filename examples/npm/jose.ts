import { SignJWT, exportJWK, generateKeyPair, importJWK, jwtVerify } from "jose";

const secret = new TextEncoder().encode("a secret of thirty-two characters");

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/sign") {
      const token = await new SignJWT({ user: "ada" }).setProtectedHeader({ alg: "HS256" }).setIssuedAt(1700000000).sign(secret);
      return new Response(token);
    }
    if (pathname === "/round-trip") {
      const algorithms = [];
      for (const alg of ["ES256", "RS256", "EdDSA", "PS384"]) {
        const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
        const token = await new SignJWT({ alg }).setProtectedHeader({ alg }).setExpirationTime("2h").sign(privateKey);
        const { payload } = await jwtVerify(token, await importJWK(await exportJWK(publicKey), alg));
        algorithms.push(payload.alg);
      }
      return Response.json(algorithms);
    }
    try {
      const token = request.headers.get("authorization")?.replace("Bearer ", "") ?? "";
      const { payload } = await jwtVerify(token, secret);
      return Response.json(payload);
    } catch (error) {
      return new Response((error as Error & { code: string }).code, { status: 401 });
    }
  },
};
