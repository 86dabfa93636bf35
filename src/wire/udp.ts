/** Source port, destination port, length, checksum (RFC 768). */
export const UDP_HEADER_LENGTH = 8;
export const UDP_LENGTH_OFFSET = 4;
export const UDP_CHECKSUM_OFFSET = 6;
