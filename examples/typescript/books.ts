export interface Book {
  readonly title: string;
  readonly price: number;
}

export const books: ReadonlyMap<string, Book> = new Map([
  ["go", { title: "The Go Programming Language", price: 40 }],
  ["c", { title: "The C Programming Language", price: 60 }],
]);
