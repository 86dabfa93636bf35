declare const brand: unique symbol;

/**
 * A connection from the file or the API down to its SPIs: it stays when the connection gets another name. Names are
 * for people: they are read where a command or a file comes in, and written where a text goes out.
 */
export type ConnectionId = string & { readonly [brand]?: 'connection' };

/** An IKE SA of this engine, of either version. Never given twice in the life of an engine. */
export type IkeId = number & { readonly [brand]?: 'ike' };

/** A pair of ESP SAs of this engine. Never given twice in the life of an engine. */
export type ChildId = number & { readonly [brand]?: 'child' };

/** A Security Parameters Index of ESP, as a number (RFC 4303 §2.1). */
export type Spi = number & { readonly [brand]?: 'spi' };

/** A TUN device of the packet path, in the order in which they were opened; 0 is the gateway's own. */
export type DeviceNumber = number & { readonly [brand]?: 'device' };

/** A packet worker, from 0. */
export type WorkerIndex = number & { readonly [brand]?: 'worker' };
