import type { Random } from '../../util/random.js';
import { err, ok, type Result } from '../../util/result.js';
import { SecretKey } from '../../util/secret.js';
import type { DhError, DhExchange, DhGroup, KeyExchangeAnswer, KeyExchangeMethod } from '../types.js';
import { refusedByLibrary } from './checks.js';
import { leftPad } from './pad.js';

/** What a backend knows about one group: the arithmetic, without the life of an exchange around it. */
export interface DhArithmetic {
  readonly id: number;
  readonly publicLength: number;
  readonly sharedLength: number;
  /** A fresh private value. */
  draw(random: Random): Uint8Array;
  /** Why this value of the peer must not be used. Called before `combine`. */
  check(peerPublic: Uint8Array): DhError | undefined;
  /** The private value may be referred to until it is wiped, at the end of the exchange. */
  begin(privateValue: Uint8Array): DhHalf;
}

/** The own half of an exchange. */
export interface DhHalf {
  /** Any length up to `publicLength`. */
  readonly publicValue: Uint8Array;
  /**
   * The shared secret, any length up to `sharedLength`, or why there is none. What the library throws for
   * this value may pass through: the exchange makes a refusal of it.
   */
  combine(peerPublic: Uint8Array): Uint8Array | DhError;
  /** Overwrites what it has made of the private value. */
  wipe?(): void;
}

/** A group that draws a new private value for each exchange. */
export function dhGroup(arithmetic: DhArithmetic): DhGroup {
  return {
    id: arithmetic.id,
    publicLength: arithmetic.publicLength,
    sharedLength: arithmetic.sharedLength,
    generate: (random) => startExchange(arithmetic, arithmetic.draw(random)),
    restore: (privateValue) => startExchange(arithmetic, Uint8Array.from(privateValue.expose())),
  };
}

/** A group as one key exchange method among others: both ends do the same. */
export function groupMethod(group: DhGroup): KeyExchangeMethod {
  return {
    id: group.id,
    requestLength: group.publicLength,
    answerLength: group.publicLength,
    sharedLength: group.sharedLength,
    begin: (random) => group.generate(random),
    answer: (random, request): Result<KeyExchangeAnswer, DhError> => {
      const exchange = group.generate(random);
      const publicValue = exchange.publicValue.slice();
      const shared = exchange.agree(request);
      return shared.ok ? ok({ publicValue, shared: shared.value }) : shared;
    },
    restore: (privateValue) => group.restore(privateValue),
  };
}

/** An exchange with a given private value, which it takes over and wipes. Also the way in for known answers. */
export function startExchange(arithmetic: DhArithmetic, privateValue: Uint8Array): DhExchange {
  return new Exchange(arithmetic, privateValue);
}

class Exchange implements DhExchange {
  readonly group: number;
  readonly publicValue: Uint8Array;
  readonly #arithmetic: DhArithmetic;
  readonly #private: Uint8Array;
  /** Undefined once the exchange is over. */
  #half: DhHalf | undefined;

  constructor(arithmetic: DhArithmetic, privateValue: Uint8Array) {
    this.group = arithmetic.id;
    this.#arithmetic = arithmetic;
    this.#private = privateValue;
    this.#half = arithmetic.begin(privateValue);
    this.publicValue = leftPad(this.#half.publicValue, arithmetic.publicLength);
  }

  agree(peerPublic: Uint8Array): Result<SecretKey, DhError> {
    try {
      return this.tryAgree(peerPublic);
    } finally {
      this.wipe();
    }
  }

  tryAgree(peerPublic: Uint8Array): Result<SecretKey, DhError> {
    const half = this.#half;
    if (half === undefined)
      throw new Error(`this exchange of DH group ${this.group} is over: start a new one`);
    const refusal = this.#arithmetic.check(peerPublic);
    if (refusal !== undefined) return err(refusal);
    const shared = this.#combine(half, peerPublic);
    if (!(shared instanceof Uint8Array)) return err(shared);
    const padded = leftPad(shared, this.#arithmetic.sharedLength);
    if (padded !== shared) shared.fill(0);
    return ok(new SecretKey(padded));
  }

  /**
   * Libraries differ in the values that they refuse by an exception, from one version to the next: OpenSSL 3.5
   * in Node 22 throws for one outside the subgroup of order q, in Node 24 it does not. It is the peer
   * that chose the value, so what is thrown here is a refusal of that value and never a fault of the engine.
   */
  #combine(half: DhHalf, peerPublic: Uint8Array): Uint8Array | DhError {
    try {
      return half.combine(peerPublic);
    } catch (error) {
      return refusedByLibrary(this.group, error);
    }
  }

  exportPrivate(): SecretKey {
    if (this.#half === undefined)
      throw new Error(`this exchange of DH group ${this.group} is over: its private value is wiped`);
    return new SecretKey(Uint8Array.from(this.#private));
  }

  wipe(): void {
    this.#private.fill(0);
    this.#half?.wipe?.();
    this.#half = undefined;
  }
}
