/** JSX for HTML on servers, without a framework. */
declare module "nano:jsx" {
  /** What JSX makes. As a string it is its HTML: `String(<Page/>)`; a TypeError if a component in it is async. */
  export interface Element {
    readonly type: string | Component<any>;
    readonly props: Record<string, unknown>;
    toString(): string;
  }

  /** HTML that is written as it is. */
  export interface Raw {
    readonly html: string;
    toString(): string;
  }

  /** What may stand in an element. Text is escaped; null, undefined, true and false are nothing. */
  export type Node =
    | Element
    | Raw
    | string
    | number
    | bigint
    | boolean
    | null
    | undefined
    | Iterable<Node>
    | PromiseLike<Node>;

  /** A function from its attributes to what stands in its place, or to a promise of it. */
  export type Component<Props = {}> = (props: Props) => Node;

  /** For the props of a component that takes children. */
  export interface WithChildren {
    children?: Node;
  }

  /** Marks text as HTML that needs no escaping: never what a user has written. */
  export function raw(html: string): Raw;
  /** `<>…</>` */
  export function Fragment(props: WithChildren): Node;
  /** For the classic transform: `@jsx h`. */
  export function h(type: string | Component<any>, props: object | null, ...children: Node[]): Element;
  /** The HTML of a node; a promise of it if a component in it is async. */
  export function renderToString(node: Node): string | Promise<string>;
  /** The HTML of a node in UTF-8, in order, as far as it is known: `new Response(renderToStream(<Page/>))`. */
  export function renderToStream(node: Node): ReadableStream<Uint8Array>;
  export function jsx(type: string | Component<any>, props: object | null, key?: unknown): Element;
  export { jsx as jsxs, jsx as jsxDEV };

  /** The attributes of an HTML element, by their names in HTML; className and htmlFor are class and for. */
  export interface Attributes {
    children?: Node;
    key?: string | number | null;
    /** Text as it is, or properties by their names in JavaScript; numbers are pixels where they are lengths. */
    style?: string | Record<string, string | number | boolean | null | undefined>;
    /** HTML that is written as it is, in the place of children. */
    dangerouslySetInnerHTML?: { __html: string };
    [name: string]: unknown;
  }

  export namespace JSX {
    type Element = import("nano:jsx").Element;
    type ElementType = string | Component<any>;
    interface ElementChildrenAttribute {
      children: {};
    }
    interface IntrinsicAttributes {
      key?: string | number | null;
    }
    interface IntrinsicElements {
      [name: string]: Attributes;
    }
  }
}

// What compilers import for `"jsxImportSource": "nano:jsx"`.
declare module "nano:jsx/jsx-runtime" {
  export { Fragment, JSX, jsx, jsxs } from "nano:jsx";
}
declare module "nano:jsx/jsx-dev-runtime" {
  export { Fragment, JSX, jsxDEV } from "nano:jsx";
}
