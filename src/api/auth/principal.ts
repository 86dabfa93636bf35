/** What a principal may do: a viewer reads, an editor writes as well. */
export type Role = 'viewer' | 'editor';

/** Who a request comes from. */
export interface Principal {
  readonly name: string;
  readonly role: Role;
  /** How it was found out; `console`: by a login link that was made on the Unix socket. */
  readonly by: 'token' | 'iam' | 'socket' | 'console' | 'none' | 'server';
}

/** The server itself, when it changes objects on its own account. */
export const SERVER: Principal = { name: 'culvert', role: 'editor', by: 'server' };
/** The users who may open the Unix socket. */
export const SOCKET: Principal = { name: 'root', role: 'editor', by: 'socket' };
/** Every caller on this machine, when authentication is switched off. */
export const ANYBODY: Principal = { name: 'anonymous', role: 'editor', by: 'none' };
