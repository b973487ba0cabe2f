package tfpwl.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.util.Arrays;
import java.util.Base64;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tfpwl.SignatureException;

class Ed25519Test {
    private static final BigInteger L =
            BigInteger.ONE.shiftLeft(252).add(new BigInteger("27742317777372353535851937790883648493"));

    /** RFC 8032, section 7.1: public key, message, signature; the last one is TEST SHA(abc). */
    @ParameterizedTest
    @CsvSource({
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a, '',"
            + "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            + "d25bf5f0595bbe24655141438e7a100b",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c, 72,"
            + "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            + "387b2eaeb4302aeeb00d291612bb0c00",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025, af82,"
            + "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            + "4a7c15e9716ed28dc027beceea1ec40a",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf,"
            + "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
            + "454d4423643ce80e2a9ac94fa54ca49f,"
            + "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
            + "3dca179c138ac17ad9bef1177331a704",
    })
    void theVectorsOfTheRfcVerifyAndNothingNearThem(String key, String message, String signature) {
        byte[] publicKey = Fixtures.hex(key);
        byte[] text = Fixtures.hex(message);
        byte[] right = Fixtures.hex(signature);
        assertTrue(Ed25519.verify(publicKey, text, right));
        for (int at : new int[] {0, 31, 32, 63}) {
            byte[] wrong = right.clone();
            wrong[at] ^= 1;
            assertFalse(Ed25519.verify(publicKey, text, wrong));
        }
        assertFalse(Ed25519.verify(publicKey, Arrays.copyOf(text, text.length + 1), right));
        assertFalse(Ed25519.verify(publicKey, text, Arrays.copyOf(right, 63)));
    }

    /** s + L gives the same point; RFC 8032 refuses it, so that a signature cannot be turned into another one. */
    @Test
    void aScalarThatIsNotReducedIsRefused() {
        byte[] key = Fixtures.hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        byte[] signature = Fixtures.hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
        byte[] turned = new byte[32];
        for (int i = 0; i < 32; i++) {
            turned[i] = signature[63 - i];
        }
        byte[] more = new BigInteger(1, turned).add(L).toByteArray();
        for (int i = 0; i < 32; i++) {
            signature[32 + i] = i < more.length ? more[more.length - 1 - i] : 0;
        }
        assertFalse(Ed25519.verify(key, new byte[] {0x72}, signature));
    }

    /** The JDK's implementation is the other, independent one. */
    @Test
    void signaturesOfTheJdkVerify() throws Exception {
        Random random = new Random(7);
        KeyPairGenerator generator = KeyPairGenerator.getInstance("Ed25519");
        for (int i = 0; i < 30; i++) {
            KeyPair pair = generator.generateKeyPair();
            byte[] encoded = pair.getPublic().getEncoded();
            byte[] key = Arrays.copyOfRange(encoded, encoded.length - 32, encoded.length);
            byte[] message = new byte[random.nextInt(300)];
            random.nextBytes(message);
            Signature signer = Signature.getInstance("Ed25519");
            signer.initSign(pair.getPrivate());
            signer.update(message);
            byte[] signature = signer.sign();
            assertTrue(Ed25519.verify(key, message, signature));
            signature[random.nextInt(64)] ^= (byte) (1 << random.nextInt(8));
            assertFalse(Ed25519.verify(key, message, signature));
        }
    }

    /** About half of all y have no x; y must be below p; x = 0 has no odd form (RFC 8032, section 5.1.3). */
    @Test
    void bytesThatAreNoPointAreNoKey() {
        byte[] none = new byte[32];
        none[0] = 2;
        assertFalse(Ed25519.isKey(none));
        byte[] tooLarge = new byte[32];
        Arrays.fill(tooLarge, (byte) 0xff);
        tooLarge[31] = 0x7f;
        assertFalse(Ed25519.isKey(tooLarge));
        byte[] oddZero = new byte[32];
        oddZero[0] = 1;
        oddZero[31] = (byte) 0x80;
        assertFalse(Ed25519.isKey(oddZero));
        assertEquals("Received 32 bytes that are no Ed25519 public key; expected the 32 bytes of one.",
                assertThrows(SignatureException.class, () -> PublicKey.ofBytes(none)).getMessage());
        assertThrows(SignatureException.class, () -> PublicKey.ofBytes(new byte[31]));
    }

    @Test
    void keysOfPythonAndOpensslAreReadFromPem() {
        for (String name : new String[] {"right", "other"}) {
            String pem = (String) Fixtures.map(Fixtures.map(Fixtures.facts().get("keys")).get(name)).get("pem");
            PublicKey.ofPem(pem);
            PublicKey.ofPem(pem.replace("\n", "\r\n"));
        }
        PublicKey right = PublicKey.ofPem(
                (String) Fixtures.map(Fixtures.map(Fixtures.facts().get("keys")).get("right")).get("pem"));
        Bundle.open(Fixtures.bundle("fp32"), right);
        Bundle.open(Fixtures.bundle("fp32.tfpwl"), right);
    }

    @Test
    void otherPemIsRefused() throws Exception {
        KeyPairGenerator rsa = KeyPairGenerator.getInstance("RSA");
        rsa.initialize(1024);
        String encoded = Base64.getMimeEncoder().encodeToString(rsa.generateKeyPair().getPublic().getEncoded());
        String begin = "-----BEGIN PUBLIC KEY-----\n";
        String end = "\n-----END PUBLIC KEY-----\n";
        for (String pem : new String[] {"", "x", begin + encoded + end, begin + "!" + end, begin + end}) {
            assertThrows(SignatureException.class, () -> PublicKey.ofPem(pem));
        }
        String message = assertThrows(SignatureException.class, () -> PublicKey.ofPem(
                "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----")).getMessage();
        assertTrue(message.contains("It is a private key, which belongs on no device."), message);
    }
}
