/** Where a store in etcd is, as the file of the server names it. Paths are absolute. */
export interface EtcdPlace {
  /** `https://host:port`, or `http://…` for all; the first one is asked first. */
  readonly endpoints: readonly string[];
  /** Keys are below `culvert/<cluster>/`, so that several installations can share one etcd. */
  readonly cluster: string;
  readonly tls: EtcdTls;
  /** Who logs in by name and password; without it the client certificate may say who it is. */
  readonly login?: { readonly user: string; readonly passwordFile: string };
}

/** PEM files: who is trusted (the system's authorities when left out), and the client's own certificate. */
export interface EtcdTls {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
}
