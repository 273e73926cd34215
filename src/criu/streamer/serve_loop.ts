/**
 * The thread's part of a restore: gives each image to its pipe, as fast as CRIU's processes read them.
 */
import { closeSync, writeSync } from "node:fs";
import { addressOf } from "../../system/memory.ts";
import { poll, type Watch } from "../../system/poll.ts";
import { type Order, receiveOrders } from "./control.ts";
import { ExtentTable } from "./extents.ts";
import type { Outgoing } from "./outgoing.ts";
import { OutgoingFile } from "./outgoing_file.ts";
import { OutgoingMemory } from "./outgoing_memory.ts";
import { Connection, encodeAnswer } from "./protocol.ts";

export type ServeMessage =
  | { kind: "asked"; file: number; name: string }
  /** The next piece may come; of an image in files: CRIU has all of it. */
  | { kind: "taken"; file: number }
  /** So many bytes of an image in files are on their way. */
  | { kind: "passed"; file: number; bytes: number }
  /** The oldest piece that was not given back: its memory may be used again. */
  | { kind: "released"; file: number }
  /** CRIU has closed the file before its end; all its memory may be used again. */
  | { kind: "closed"; file: number }
  /** CRIU asks for no more files, and every pipe is done. */
  | { kind: "complete" };

export interface ServeLoopOptions {
  connection: number;
  control: number;
  /** Every image there is, with its content where that is at hand. */
  images: ReadonlyMap<string, Uint8Array | undefined>;
  post(message: ServeMessage): void;
}

export class ServeLoop {
  readonly #options: ServeLoopOptions;
  readonly #connection: Connection;
  readonly #images = new Map<number, Outgoing>();
  /** The image whose pipe comes next; CRIU asks for one at a time. */
  #asked = 0;
  #connected = true;
  #stopped = false;

  constructor(options: ServeLoopOptions) {
    this.#options = options;
    this.#connection = new Connection(options.connection, {
      onName: (name) => this.#ask(name),
      onPipe: (fd) => this.#open(fd),
    });
  }

  run(): void {
    while (!this.#stopped) {
      if (!this.#connected && this.#images.size === 0) {
        this.#options.post({ kind: "complete" });
        return;
      }
      this.#watch();
      this.#tell();
    }
  }

  #watch(): void {
    const due = Math.min(...this.#images.values().map((image) => image.due));
    poll(this.#watches(), Math.max(0, due - performance.now()));
    const now = performance.now();
    for (const image of this.#images.values()) if (image.due <= now) image.proceed();
  }

  /** The connection first: what CRIU finds cut short must not be the end of an image to it, so that it asks on. */
  close(): void {
    this.#connection.close();
    for (const image of this.#images.values()) image.close();
  }

  #watches(): Watch[] {
    const { control, connection } = this.#options;
    const watches: Watch[] = [{ fd: control, for: "bytes", ready: () => this.#obey() }];
    if (this.#connected) watches.push({ fd: connection, for: "bytes", ready: () => this.#listen() });
    for (const image of this.#images.values()) {
      const watch = image.watch();
      if (watch !== undefined) watches.push(watch);
    }
    return watches;
  }

  /** Tells what has become of each image. */
  #tell(): void {
    const { post } = this.#options;
    for (const [file, image] of this.#images) {
      for (const news of image.takeNews()) post(news);
      if (image.broken) this.#closeEarly(file, image);
      else if (image.done) this.#remove(file, image);
    }
  }

  #closeEarly(file: number, image: Outgoing): void {
    this.#remove(file, image);
    this.#options.post({ kind: "closed", file });
  }

  #remove(file: number, image: Outgoing): void {
    this.#images.delete(file);
    image.close();
  }

  #obey(): void {
    const orders = receiveOrders(this.#options.control);
    if (orders === undefined) this.#stopped = true;
    for (const order of orders ?? []) this.#follow(order);
  }

  #follow(order: Order): void {
    if (order.order === "release") return;
    const { file } = order;
    if (order.order === "pieces") this.#answer(file, new OutgoingMemory(file));
    if (order.order === "files")
      this.#answer(file, new OutgoingFile(file, ExtentTable.at(order.address, order.count)));
    const image = this.#images.get(file);
    if (!(image instanceof OutgoingMemory)) return;
    if (order.order === "write") image.add(order);
    if (order.order === "end") image.end();
  }

  #ask(name: string): void {
    const file = ++this.#asked;
    const { images, post } = this.#options;
    const content = images.get(name);
    if (!images.has(name)) this.#answer(file, undefined);
    else if (content === undefined) post({ kind: "asked", file, name });
    else this.#answer(file, wholeOf(file, content));
  }

  #answer(file: number, image: Outgoing | undefined): void {
    if (image === undefined) this.#connection.expectName();
    else this.#images.set(file, image);
    try {
      // 6 bytes never wait: CRIU reads each before it asks again.
      writeSync(this.#options.connection, encodeAnswer(image !== undefined));
    } catch {
      this.#hangUp();
    }
  }

  #listen(): void {
    this.#connected = this.#connection.take();
    if (!this.#connected) this.#hangUp();
  }

  /** CRIU is gone, or done: an image whose pipe has not come never will be read. */
  #hangUp(): void {
    this.#connected = false;
    for (const [file, image] of this.#images) if (!image.hasPipe) this.#closeEarly(file, image);
  }

  #open(fd: number): void {
    const image = this.#images.get(this.#asked);
    if (image === undefined) closeSync(fd);
    else image.open(fd);
  }
}

function wholeOf(file: number, content: Uint8Array): Outgoing {
  const image = new OutgoingMemory(file);
  if (content.length > 0) image.add({ address: addressOf(content), length: content.length });
  image.end();
  return image;
}
