/** The services of containerd that the driver uses, as Connect's clients over one transport. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { Containers } from "../gen/containerd/services/containers_pb.ts";
import { Content } from "../gen/containerd/services/content_pb.ts";
import { Diff } from "../gen/containerd/services/diff_pb.ts";
import { Events } from "../gen/containerd/services/events_pb.ts";
import { Images } from "../gen/containerd/services/images_pb.ts";
import { Introspection } from "../gen/containerd/services/introspection_pb.ts";
import { Leases } from "../gen/containerd/services/leases_pb.ts";
import { Namespaces } from "../gen/containerd/services/namespaces_pb.ts";
import { Snapshots } from "../gen/containerd/services/snapshots_pb.ts";
import { Tasks } from "../gen/containerd/services/tasks_pb.ts";
import { Version } from "../gen/containerd/services/version_pb.ts";

export interface Services {
  version: Client<typeof Version>;
  introspection: Client<typeof Introspection>;
  namespaces: Client<typeof Namespaces>;
  leases: Client<typeof Leases>;
  content: Client<typeof Content>;
  images: Client<typeof Images>;
  snapshots: Client<typeof Snapshots>;
  diff: Client<typeof Diff>;
  containers: Client<typeof Containers>;
  tasks: Client<typeof Tasks>;
  events: Client<typeof Events>;
}

export function servicesOver(transport: Transport): Services {
  return {
    version: createClient(Version, transport),
    introspection: createClient(Introspection, transport),
    namespaces: createClient(Namespaces, transport),
    leases: createClient(Leases, transport),
    content: createClient(Content, transport),
    images: createClient(Images, transport),
    snapshots: createClient(Snapshots, transport),
    diff: createClient(Diff, transport),
    containers: createClient(Containers, transport),
    tasks: createClient(Tasks, transport),
    events: createClient(Events, transport),
  };
}
