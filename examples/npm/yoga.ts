import { createSchema, createYoga } from "graphql-yoga";

const books = [
  { id: "1", title: "The Go Programming Language" },
  { id: "2", title: "The C Programming Language" },
];

const yoga = createYoga({
  graphqlEndpoint: "/graphql",
  landingPage: false,
  schema: createSchema({
    typeDefs: /* GraphQL */ `
      type Book {
        id: ID!
        title: String!
      }
      type Query {
        books: [Book!]!
        book(id: ID!): Book
      }
      type Subscription {
        countdown(from: Int!): Int!
      }
    `,
    resolvers: {
      Query: {
        books: () => books,
        book: (_: unknown, { id }: { id: string }) => books.find((book) => book.id === id),
      },
      Subscription: {
        countdown: {
          async *subscribe(_: unknown, { from }: { from: number }) {
            for (let i = from; i >= 0; i--) yield { countdown: i };
          },
        },
      },
    },
  }),
});

export default { fetch: yoga.fetch };
