import type { InetSk, UnixSk } from "../../gen/cedana/criu/v1/images_pb.ts";

/** The kernel's TCP_* states (include/net/tcp_states.h), which it also uses for other sockets, as netstat prints them. */
const stateWords = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "SYN_RECV",
];

const ipv6Family = 10;
const streamType = 1;

/** IPPROTO_* of the protocols that have a name of their own. */
const protocols = new Map([
  [1, "icmp"],
  [6, "tcp"],
  [17, "udp"],
  [58, "icmp6"],
  [136, "udplite"],
]);

const socketTypes = new Map([
  [1, "stream"],
  [2, "dgram"],
  [5, "seqpacket"],
]);

export interface SocketWords {
  type: string;
  name: string;
  state: string;
  local: string;
  remote: string;
}

export function describeInet(socket: InetSk): SocketWords {
  const raw = socket.type === 3;
  const protocol = raw ? "raw" : (protocols.get(socket.proto) ?? `proto${socket.proto}`);
  const connected = socket.dstPort !== 0;
  return {
    type: `socket:${protocol}`,
    name: `socket:[${socket.ino}]`,
    state: stateWord(socket.state, socket.type),
    local: endpoint(socket.family, socket.srcAddr, socket.srcPort),
    remote: connected ? endpoint(socket.family, socket.dstAddr, socket.dstPort) : "",
  };
}

/** `paths`: the name of each unix socket of the checkpoint, by inode. */
export function describeUnix(socket: UnixSk, paths: Map<number, string>): SocketWords {
  const peerPath = paths.get(socket.peer) ?? "";
  return {
    type: "socket:unix",
    name: `${socketTypes.get(socket.type) ?? "unix"} socket:[${socket.ino}]`,
    state: stateWord(socket.state, socket.type),
    local: paths.get(socket.ino) ?? "",
    remote: socket.peer === 0 ? "" : peerPath || `socket:[${socket.peer}]`,
  };
}

/** A socket without connections is never closed, only not connected. */
function stateWord(state: number, type: number): string {
  const word = stateWords[state] ?? "";
  return word === "CLOSE" && type !== streamType ? "UNCONNECTED" : word;
}

/** "127.0.0.1:80", "[::1]:80". */
function endpoint(family: number, words: number[], port: number): string {
  return family === ipv6Family ? `[${ipv6(words)}]:${port}` : `${ipv4(words[0] ?? 0)}:${port}`;
}

/** Each word is four bytes of the address as they lay in a little-endian memory. */
function addressBytes(word: number): number[] {
  return [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24];
}

function ipv4(word: number): string {
  return addressBytes(word).join(".");
}

function ipv6(words: number[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = words;
  if (a === 0 && b === 0 && c === 0xffff0000) return `::ffff:${ipv4(d)}`;
  const bytes = [a, b, c, d].flatMap(addressBytes);
  const groups = Array.from(
    { length: 8 },
    (_, index) => (bytes[2 * index] ?? 0) * 256 + (bytes[2 * index + 1] ?? 0),
  );
  const text = groups.map((group) => group.toString(16)).join(":");
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  const runs = [...text.matchAll(/\b0(?::0\b)+/g)].sort((x, y) => y[0].length - x[0].length);
  const longest = runs[0];
  if (longest === undefined) return text;
  const before = text.slice(0, longest.index).replace(/:$/, "");
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}
