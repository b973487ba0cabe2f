package tfpwl.bundle;

import java.math.BigInteger;
import java.security.MessageDigest;
import java.util.Arrays;
import org.jetbrains.annotations.Nullable;

/**
 * Checking Ed25519 signatures (RFC 8032, section 5.1.7) with nothing but {@link BigInteger}.
 *
 * <p>Android's own is there from API 33 on only. Nothing here is secret, so time that depends on the numbers gives
 * nothing away. One check takes about 10 ms on a desktop.
 */
final class Ed25519 {
    static final int KEY_BYTES = 32;
    static final int SIGNATURE_BYTES = 64;
    private static final BigInteger ONE = BigInteger.ONE;
    private static final BigInteger TWO = BigInteger.valueOf(2);
    private static final BigInteger P = ONE.shiftLeft(255).subtract(BigInteger.valueOf(19));
    /** The order of the base point. */
    private static final BigInteger L =
            ONE.shiftLeft(252).add(new BigInteger("27742317777372353535851937790883648493"));
    private static final BigInteger D =
            BigInteger.valueOf(-121665).multiply(BigInteger.valueOf(121666).modInverse(P)).mod(P);
    private static final BigInteger SQRT_MINUS_ONE = TWO.modPow(P.subtract(ONE).shiftRight(2), P);
    private static final Point BASE = base();

    private Ed25519() {
    }

    /** Whether {@code key} is a point of the curve, so that a signature can be checked with it at all. */
    static boolean isKey(byte[] key) {
        return key.length == KEY_BYTES && decode(key) != null;
    }

    /** Whether {@code signature} is that of {@code message} by the owner of {@code key}. */
    static boolean verify(byte[] key, byte[] message, byte[] signature) {
        Point point = key.length == KEY_BYTES ? decode(key) : null;
        if (point == null || signature.length != SIGNATURE_BYTES) {
            return false;
        }
        byte[] r = Arrays.copyOf(signature, 32);
        BigInteger s = littleEndian(Arrays.copyOfRange(signature, 32, 64));
        if (s.compareTo(L) >= 0) {
            return false;
        }
        MessageDigest digest = Digests.make("SHA-512");
        digest.update(r);
        digest.update(key);
        BigInteger k = littleEndian(digest.digest(message)).mod(L);
        // R = S B - k A; compared encoded, as OpenSSL does, so that both tools agree on every signature.
        return Arrays.equals(r, BASE.times(s).plus(point.negated().times(k)).encoded());
    }

    private static Point base() {
        BigInteger y = BigInteger.valueOf(4).multiply(BigInteger.valueOf(5).modInverse(P)).mod(P);
        return new Point(rootFor(y, false), y);
    }

    @Nullable
    private static Point decode(byte[] data) {
        byte[] bytes = data.clone();
        boolean odd = (bytes[31] & 0x80) != 0;
        bytes[31] &= 0x7f;
        BigInteger y = littleEndian(bytes);
        if (y.compareTo(P) >= 0) {
            return null;
        }
        BigInteger x = rootFor(y, odd);
        return x == null ? null : new Point(x, y);
    }

    /** The x of the curve's point with this y and this last bit; null where there is none. */
    @Nullable
    private static BigInteger rootFor(BigInteger y, boolean odd) {
        BigInteger square = y.multiply(y).mod(P);
        BigInteger xx = square.subtract(ONE).multiply(D.multiply(square).add(ONE).modInverse(P)).mod(P);
        BigInteger x = xx.modPow(P.add(BigInteger.valueOf(3)).shiftRight(3), P);
        if (!x.multiply(x).mod(P).equals(xx)) {
            x = x.multiply(SQRT_MINUS_ONE).mod(P);
        }
        if (!x.multiply(x).mod(P).equals(xx) || (x.signum() == 0 && odd)) {
            return null;
        }
        return x.testBit(0) == odd ? x : P.subtract(x);
    }

    private static BigInteger littleEndian(byte[] data) {
        byte[] turned = new byte[data.length];
        for (int i = 0; i < data.length; i++) {
            turned[i] = data[data.length - 1 - i];
        }
        return new BigInteger(1, turned);
    }

    /** A point in extended coordinates (RFC 8032, section 5.1.4): x = X/Z, y = Y/Z, xy = T/Z. */
    private static final class Point {
        private static final Point ZERO = new Point(BigInteger.ZERO, ONE);
        private final BigInteger x;
        private final BigInteger y;
        private final BigInteger z;
        private final BigInteger t;

        Point(BigInteger x, BigInteger y) {
            this(x, y, ONE, x.multiply(y).mod(P));
        }

        private Point(BigInteger x, BigInteger y, BigInteger z, BigInteger t) {
            this.x = x;
            this.y = y;
            this.z = z;
            this.t = t;
        }

        Point negated() {
            return new Point(P.subtract(x), y, z, P.subtract(t));
        }

        Point plus(Point other) {
            BigInteger a = y.subtract(x).multiply(other.y.subtract(other.x)).mod(P);
            BigInteger b = y.add(x).multiply(other.y.add(other.x)).mod(P);
            BigInteger c = t.multiply(TWO).multiply(D).mod(P).multiply(other.t).mod(P);
            BigInteger d = z.multiply(TWO).multiply(other.z).mod(P);
            BigInteger e = b.subtract(a);
            BigInteger f = d.subtract(c);
            BigInteger g = d.add(c);
            BigInteger h = b.add(a);
            return new Point(e.multiply(f).mod(P), g.multiply(h).mod(P), f.multiply(g).mod(P), e.multiply(h).mod(P));
        }

        Point times(BigInteger factor) {
            Point sum = ZERO;
            for (int bit = factor.bitLength() - 1; bit >= 0; bit--) {
                sum = sum.plus(sum);
                if (factor.testBit(bit)) {
                    sum = sum.plus(this);
                }
            }
            return sum;
        }

        byte[] encoded() {
            BigInteger inverse = z.modInverse(P);
            BigInteger affine = x.multiply(inverse).mod(P);
            byte[] bytes = y.multiply(inverse).mod(P).toByteArray();
            byte[] found = new byte[32];
            for (int i = 0; i < Math.min(32, bytes.length); i++) {
                found[i] = bytes[bytes.length - 1 - i];
            }
            found[31] |= (byte) (affine.testBit(0) ? 0x80 : 0);
            return found;
        }
    }
}
