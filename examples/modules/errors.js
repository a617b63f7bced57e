// BadRequest is a fault of the client.
export class BadRequest extends Error {}
