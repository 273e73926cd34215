/** An image on its way to CRIU. */
import type { Watch } from "../../system/poll.ts";
import type { ServeMessage } from "./serve_loop.ts";

export interface Outgoing {
  /** Whether CRIU's pipe has come. */
  readonly hasPipe: boolean;
  /** CRIU has closed its end. */
  readonly broken: boolean;
  /** CRIU has read all of it. */
  readonly done: boolean;
  /** When `proceed` is to be called though nothing that is watched is ready, by performance.now(). */
  readonly due: number;
  /** Takes over CRIU's end. */
  open(fd: number): void;
  watch(): Watch | undefined;
  proceed(): void;
  /** What is to be told since the last time. */
  takeNews(): ServeMessage[];
  close(): void;
}
