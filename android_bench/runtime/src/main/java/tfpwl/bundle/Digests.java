package tfpwl.bundle;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Sums; every Android and every JVM has both algorithms. */
final class Digests {
    private Digests() {
    }

    static MessageDigest make(String algorithm) {
        try {
            return MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException exc) {
            throw new IllegalStateException("This platform has no " + algorithm + ", which each one must have.", exc);
        }
    }

    /** SHA-256 of what remains in the buffer, in hexadecimal; the buffer's position stays. */
    static String sha256(ByteBuffer data) {
        MessageDigest digest = make("SHA-256");
        digest.update(data.duplicate());
        StringBuilder text = new StringBuilder(64);
        for (byte one : digest.digest()) {
            text.append("0123456789abcdef".charAt(one >> 4 & 15)).append("0123456789abcdef".charAt(one & 15));
        }
        return text.toString();
    }
}
