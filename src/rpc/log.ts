/** Where the server writes what its operator should know; a consola instance fits. */
export interface RpcLog {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string, error: unknown): void;
}
