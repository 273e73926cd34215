/** Reads typed fields out of untrusted JSON; whatever is missing or of another type is an error naming the field. */
import { isObject, type Json } from "./json.ts";

export type Fail = (what: string) => Error;

export class Fields {
  readonly #object: Json;
  readonly #fail: Fail;

  constructor(value: unknown, where: string, fail: Fail) {
    if (!isObject(value)) throw fail(`${where} is not an object`);
    this.#object = value;
    this.#fail = fail;
  }

  string(name: string, limit = 4096): string {
    const text = this.#check(name, `a string of at most ${limit} characters`, (value) =>
      typeof value === "string" && value.length <= limit ? value : undefined,
    );
    return this.#whole(text, name);
  }

  /** A whole number from 0 up to 2^53, or up to `limit`. */
  count(name: string, limit = Number.MAX_SAFE_INTEGER): number {
    return this.#check(name, `a whole number up to ${limit}`, (value) =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= limit
        ? value
        : undefined,
    );
  }

  boolean(name: string): boolean {
    return this.#check(name, "true or false", (value) => (typeof value === "boolean" ? value : undefined));
  }

  oneOf<const T extends string | number>(name: string, choices: readonly T[]): T {
    return this.#check(name, `one of ${choices.join(", ")}`, (value) => choices.find((one) => one === value));
  }

  has(name: string): boolean {
    return this.#object[name] !== undefined && this.#object[name] !== null;
  }

  /** `fallback` when the field is missing or null. */
  optional<T>(name: string, fallback: T, read: (fields: this) => T): T {
    return this.has(name) ? read(this) : fallback;
  }

  list<T>(name: string, limit: number, read: (item: unknown, where: string) => T): T[] {
    const items = this.#check(name, `a list of at most ${limit}`, (value) =>
      Array.isArray(value) && value.length <= limit ? value : undefined,
    );
    return items.map((item: unknown, at) => read(item, `${name}[${at}]`));
  }

  strings(name: string, limit: number): string[] {
    return this.list(name, limit, (item, where) => {
      if (typeof item !== "string") throw this.#fail(`${where} is not a string`);
      return this.#whole(item, where);
    });
  }

  counts(name: string, limit: number): number[] {
    return this.list(name, limit, (item, where) => {
      if (typeof item !== "number" || !Number.isSafeInteger(item) || item < 0) {
        throw this.#fail(`${where} is not a whole number`);
      }
      return item;
    });
  }

  /** An object whose values are all strings. */
  texts(name: string, limit: number): Map<string, string> {
    const entries = this.#check(name, `an object of at most ${limit} strings`, (value) => {
      if (!isObject(value)) return undefined;
      const all = Object.entries(value);
      return all.length <= limit ? all : undefined;
    });
    return new Map(
      entries.map(([key, text]) => {
        if (typeof text !== "string") throw this.#fail(`${name}: ${key} is not a string`);
        return [this.#whole(key, name), this.#whole(text, `${name}: ${key}`)];
      }),
    );
  }

  object(name: string): Fields {
    return new Fields(this.#object[name], name, this.#fail);
  }

  /** No path, argument or name of the kernel's holds one: whoever takes it there would see only what is before it. */
  #whole(text: string, where: string): string {
    if (text.includes("\0")) throw this.#fail(`${where} holds a NUL byte, which is not allowed`);
    return text;
  }

  #check<T>(name: string, wanted: string, read: (value: unknown) => T | undefined): T {
    const result = read(this.#object[name]);
    if (result === undefined) throw this.#fail(`${name} is not ${wanted}`);
    return result;
  }
}
