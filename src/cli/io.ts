/** Where a command prints to. stdout is for what was asked for; everything said about it goes to stderr. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Colours on stderr. */
  colours: boolean;
  env: Readonly<Record<string, string | undefined>>;
}

export function processIo(): Io {
  // `cedana ps | head -1` closes the pipe early: that is no failure.
  process.stdout.on("error", (error: Error & { code?: string }) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colours: process.stderr.isTTY === true && !process.env.NO_COLOR,
    env: process.env,
  };
}
