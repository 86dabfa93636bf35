/** An object of the server in the form that a file would wish for it, with its id. */
export interface Known<T> {
  readonly id: string;
  readonly wish: T;
}
