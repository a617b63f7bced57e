import { BadRequest } from "../errors.js";

export function parseNumber(query, name) {
  const number = Number.parseFloat(query.get(name));
  if (Number.isNaN(number)) {
    throw new BadRequest(`?${name}= must be a number`);
  }
  return number;
}
