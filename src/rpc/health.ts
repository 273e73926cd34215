/** grpc.health.v1: whether this server and its services can be called, for load balancers and probes. */
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "../gen/grpc/health/v1/health_pb.ts";

/** `services`: full names. All of them stop serving when `draining` aborts. */
export function healthService(services: string[], draining: AbortSignal): ServiceImpl<typeof Health> {
  // The empty name is the server as a whole.
  const known = ["", ...services];
  const status = () => (draining.aborted ? Status.NOT_SERVING : Status.SERVING);
  return {
    check({ service }) {
      if (known.includes(service)) return { status: status() };
      throw new ConnectError(`unknown service ${service}`, Code.NotFound);
    },
    list() {
      return { statuses: Object.fromEntries(known.map((service) => [service, { status: status() }])) };
    },
    async *watch({ service }, context) {
      if (!known.includes(service)) {
        yield { status: Status.SERVICE_UNKNOWN };
        await aborted(AbortSignal.any([context.signal, draining]));
        return;
      }
      const first = status();
      yield { status: first };
      await aborted(AbortSignal.any([context.signal, draining]));
      if (!context.signal.aborted && status() !== first) yield { status: status() };
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
