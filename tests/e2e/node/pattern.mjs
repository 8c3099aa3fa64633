// Bytes that no compressor makes vanish, yet that both ends can make again.
export function pattern(size) {
  const block = Buffer.alloc(64 * 1024);
  let state = 0x2545f491;
  for (let at = 0; at < block.length; at += 4) {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    block.writeUInt32LE(state >>> 0, at);
  }
  const whole = Buffer.alloc(size);
  for (let at = 0; at < size; at += block.length) block.copy(whole, at, 0, Math.min(block.length, size - at));
  return whole;
}
