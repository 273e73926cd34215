/** What each request to a mover comes down to; each verb's module is loaded when it is asked for. */
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";

/** Does it in this process; resolves with the answer's bytes. */
export async function perform(request: MoverRequest, port: Port): Promise<number> {
  const { signal } = port;
  switch (request.verb) {
    case "pack":
      return (await import("./pack.ts")).packFolder(request, port);
    case "capture":
      return (await import("./capture.ts")).captureStream(request, port);
    case "serve":
      return (await import("./serve.ts")).serveImages(request, port);
    case "extract":
      return (await import("./extract.ts")).extractSmall(request, port);
    case "unpack":
      return (await import("./unpack.ts")).unpackAll(request, port);
    case "verify":
      return (await import("./verify.ts")).verify(request, port);
    case "checksum":
      await (await import("../../archive/verify.ts")).addChecksums({ ...request, signal });
      return 0;
    case "look":
      return (await import("./look.ts")).lookInBucket(request, port);
    case "remove":
      return (await import("./bucket_objects.ts")).removeFromBucket(request.from, signal);
    case "abandon":
      return (await import("./bucket_objects.ts")).abandonUpload(request.from, signal);
  }
}
