package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;
import tfpwl.SignatureException;

/** The Ed25519 public key that an app demands its bundles to be signed with. */
public final class PublicKey {
    private static final String PEM_BEGIN = "-----BEGIN PUBLIC KEY-----";
    private static final String PEM_END = "-----END PUBLIC KEY-----";
    private static final String BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /** What stands before the 32 bytes in an X.509 SubjectPublicKeyInfo of Ed25519 (RFC 8410). */
    private static final byte[] PREFIX = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

    private final byte[] raw;

    private PublicKey(byte[] raw) {
        this.raw = raw;
    }

    /**
     * A key from its 32 bytes.
     *
     * @throws SignatureException when they are no key
     */
    @NotNull
    public static PublicKey ofBytes(@NotNull byte[] raw) {
        if (!Ed25519.isKey(raw)) {
            throw new SignatureException("Received " + raw.length
                    + " bytes that are no Ed25519 public key; expected the 32 bytes of one.");
        }
        return new PublicKey(raw.clone());
    }

    /**
     * A key from PEM, as {@code openssl pkey -pubout} writes it.
     *
     * @throws SignatureException when it is something else
     */
    @NotNull
    public static PublicKey ofPem(@NotNull String pem) {
        String text = pem.trim();
        if (!text.startsWith(PEM_BEGIN) || !text.endsWith(PEM_END)) {
            throw refused(pem);
        }
        byte[] der = decode(text.substring(PEM_BEGIN.length(), text.length() - PEM_END.length()), pem);
        if (der.length != PREFIX.length + Ed25519.KEY_BYTES) {
            throw refused(pem);
        }
        for (int i = 0; i < PREFIX.length; i++) {
            if (der[i] != PREFIX[i]) {
                throw refused(pem);
            }
        }
        byte[] raw = new byte[Ed25519.KEY_BYTES];
        System.arraycopy(der, PREFIX.length, raw, 0, raw.length);
        return ofBytes(raw);
    }

    private static SignatureException refused(String pem) {
        return new SignatureException("The text holds no Ed25519 public key in PEM."
                + (pem.contains("PRIVATE KEY") ? " It is a private key, which belongs on no device." : "")
                + " Make it with: openssl pkey -in key.pem -pubout -out pub.pem");
    }

    /** The 44 bytes of a key in base64; java.util.Base64 is there from Android's API 26 on only. */
    private static byte[] decode(String text, String pem) {
        byte[] found = new byte[text.length()];
        int count = 0;
        int bits = 0;
        int buffer = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '=' || c == '\n' || c == '\r') {
                continue;
            }
            int value = BASE64.indexOf(c);
            if (value < 0) {
                throw refused(pem);
            }
            buffer = buffer << 6 | value;
            bits += 6;
            if (bits >= 8) {
                bits -= 8;
                found[count++] = (byte) (buffer >> bits);
            }
        }
        return java.util.Arrays.copyOf(found, count);
    }

    /**
     * Check the signature over a manifest's exact bytes.
     *
     * @throws SignatureException when it is another's, or of other bytes
     */
    void check(byte[] manifest, byte[] signature) {
        if (!Ed25519.verify(raw, manifest, signature)) {
            throw new SignatureException("The signature does not fit the manifest and the public key: the bundle was "
                    + "changed after it was signed, or signed with another key. Sign it again with `tfpwl sign`, or "
                    + "get it again.");
        }
    }
}
